"""Hands: the only way out when the network is limited. See `octavo.proxy.server`."""
