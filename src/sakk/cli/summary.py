"""What each command is for, in a line: ``sakk --help`` prints it, and imports none of them.

A test compares it with what the commands say of themselves.
"""

SUMMARIES = {
    "serve": "Run the server: API, ledger, workers, watchers and signer, under one supervisor.",
    "sandbox": "Run everything with test money on local chains, on loopback; gone when it ends.",
    "demo": (
        "Run the main job once on a real local chain, narrated; exit 0 only if everything holds."
    ),
    "reconcile": "Prove that the ledger's custody is what the chains hold, and keep the run.",
    "doctor": "Say what is misconfigured, and how to mend it; exit 1 if anything is.",
    "screen": (
        "Ask what screening says of an address; the check is recorded, and nothing else happens."
    ),
    "paywall": "Sell what a service answers over HTTP 402, by a reverse proxy in front of it.",
    "freeze": "Stop signing and sending at once, everywhere; pay-ins go on.",
    "unfreeze": "Let signing and sending go on; works only where the signer's files are.",
    "bench": "Run a bench and print its results; progress goes to standard error.",
    "mcp": "Serve an agent's tools over standard input and output, until it closes them.",
    "migrate": (
        "Bring the database to this version's schema; `sakk serve` does the same at its start."
    ),
    "docs": "Write the reference pages from the code.",
    "screen-name": "Look a name up in the lists; nothing is recorded.",
    "version": "Print the version.",
    "accounts": "Accounts and their API keys.",
    "assets": "The tokens that are accepted.",
    "audit": "The audit log of decisions and acts.",
    "beneficiaries": "The address book of those whom an account pays.",
    "breaches": "What was done in our addresses' name, and not by us.",
    "breaks": "What the books do not agree on, as work.",
    "cases": "Compliance cases: who works on them, and how they end.",
    "channels": "Channels of agents' payments.",
    "contracts": "Our contracts on real chains.",
    "conversions": "One currency into another.",
    "currencies": "The currencies that accounts are kept in.",
    "days": "Closed days, with signed reports.",
    "exposure": "Where an address's money came from, and went.",
    "fees": "What accounts are charged, and by which rules.",
    "keys": "The signer's keys and policy.",
    "ledger": "The ledger's journal.",
    "lists": "Sanctions and label lists.",
    "mandates": "What agents may spend, signed by owners.",
    "networks": "The chains that are followed.",
    "orders": "Open positions, closed at venues.",
    "venues": "Accounts at exchanges, where orders are placed.",
    "payins": "Pay-ins that wait for a person.",
    "payouts": "Payouts, what people decide on them, and whole files of them.",
    "transactions": "What keys of ours sent, with every attempt.",
    "rates": "What currencies are worth, and who says so.",
    "recover": "Coins that were sent here by mistake.",
    "refunds": "Money that goes back to payers.",
    "report": "Books and lists as signed files.",
    "restore": "A database restored from a backup.",
    "bank": "Money at banks.",
    "settlements": "What accounts are paid, by period.",
    "sweeps": "Collecting from deposit addresses.",
    "parties": "Due diligence on accounts, customers and owners (KYB, KYC).",
    "persons": "The operator's people and their second factors.",
    "policies": "Which payouts go, which wait, which do not.",
    "rules": "Which transfers are held, and why.",
    "travel-rule": "Who stands behind transfers, where that is asked.",
    "treasury": "The treasury: its sending addresses, and its tiers.",
    "vasps": "Institutions that keep wallets for others.",
    "wallet": "A buyer's wallet: pays for what answers 402 within limits, and keeps receipts.",
}
