"""The checkout's door: pages for payers, links, tills and the codes on their counters."""
