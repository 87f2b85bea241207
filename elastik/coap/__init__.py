"""CoAP for clients: a blocking client on the standard library, its messages, blocks and formats."""

from elastik.coap.client import CoapClient, coap_get, coap_put
from elastik.coap.linkformat import Link
from elastik.coap.responses import CoapResponse, code_text, parse

__all__ = [
    "CoapClient",
    "CoapResponse",
    "Link",
    "coap_get",
    "coap_put",
    "code_text",
    "parse",
]
