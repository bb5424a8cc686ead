"""The MCP server: other people's programs give this agent work, as a tool of theirs."""
