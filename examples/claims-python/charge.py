"""Charges a card once for each order, however often it is run: python3 charge.py URL ORDER AMOUNT

The claims API decides who may run; the effect stays here. Standard library only.
"""

import json
import sys
import urllib.error
import urllib.request
import uuid


def step(url, name, body):
    """One step of the claims API; what is refused is an answer too."""
    path = "/v1/claims" if name == "claim" else f"/v1/claims/{name}"
    data = json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        return json.load(refusal)


def charge(order, amount, provider_key):
    """The effect. A real one hands `provider_key` on: it is the same for each attempt at this order."""
    print(f"charged {order} {amount}")
    return {"id": f"pay_{order}", "amount": amount, "key": provider_key}


def main(url, order, amount):
    attempt = str(uuid.uuid4())
    payload = {"order": order, "amount": amount}
    claim = step(url, "claim", {"key": order, "operation": "charge", "payload": payload, "attemptId": attempt})
    if claim["word"] == "replay":
        print("replayed " + json.dumps(claim["outcome"]["json"]))
    elif claim["word"] == "acquired":
        owned = {"key": order, "token": claim["token"], "attemptId": attempt}
        payment = charge(order, amount, claim["derivedKey"])
        step(url, "complete", {**owned, "outcome": {"json": payment}})
        print("done " + json.dumps(payment))
    else:
        print(f"refused {claim['word']}: {claim.get('detail', '')}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
