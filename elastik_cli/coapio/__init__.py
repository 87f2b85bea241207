"""Asking CoAP servers, on aiocoap."""
