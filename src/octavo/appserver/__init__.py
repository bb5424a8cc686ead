"""The app server: one engine over JSON-RPC, for editors and for clients in other languages."""
