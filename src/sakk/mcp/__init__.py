"""The Model Context Protocol: tools that pay, tools that are paid for, and who pays for them."""
