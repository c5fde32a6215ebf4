"""The SDK for payers and agents; stands alone."""
