"""One transfer in a process of its own, which a fault point may kill.

python -m tests.integration.distribution.crashing ROOT pull|push|load|save|import ARGUMENT
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.integration.distribution.conftest import Stores, gather, run

from wherry.core.transfer import import_image, load, pull, push, save
from wherry.oci.reference import parse_normalized


def main(root: str, operation: str, argument: str) -> None:
    stores = Stores(Path(root))
    services = stores.services
    if operation == "pull":
        run(pull(services, parse_normalized(argument)))
    elif operation == "push":
        run(push(services, parse_normalized(argument)))
    elif operation == "save":
        run(gather(save(services, [parse_normalized(argument)])))
    else:
        with open(argument, "rb") as file:
            if operation == "load":
                run(load(services, file))
            else:
                run(import_image(services, file, reference=parse_normalized("crash:1"), created_at_ns=1))
    stores.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
