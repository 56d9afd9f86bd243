"""The document that tools read says what there is."""

from ledger import openapi
from ledger.api import Node, create_app


def routes():
    found = set()
    for route in create_app(Node({}, None)).routes:
        path = route.path.replace(":path}", "}")
        found |= {(path, method.lower()) for method in route.methods - {"HEAD"}}
    return found


def test_every_route_is_described_and_no_other():
    described = {(path, method) for path, methods in openapi.document()["paths"].items() for method in methods}
    assert described == routes()


def test_every_reading_route_of_a_chain_needs_a_token():
    for path, methods in openapi.document()["paths"].items():
        for method, operation in methods.items():
            reads = path.startswith("/v1/{chain}") and method == "get"
            assert bool(operation.get("security")) == reads, path
            assert reads or path.endswith(("/v1", "openapi.json", "/tx", "/challenge", "/token"))
