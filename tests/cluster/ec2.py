"""AWS's interfaces by moto, for a laptop and its hosts: `python -m tests.cluster.ec2 FOLDER ADDRESS PORT`.

In the folder: `instances.json`, what there is, always rewritten; `launches.jsonl`, a line for each request.
While there is a file `no-spot`, there is no spot capacity.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

REGION = "us-east-1"


def main(folder: Path, address: str, port: int) -> None:
    """Serve until killed."""
    os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "true"
    from moto.ec2 import ec2_backends
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.models.instances import InstanceBackend
    from moto.server import ThreadedMotoServer

    run_instances = InstanceBackend.run_instances

    def run_or_refuse(self: Any, *arguments: Any, **options: Any) -> Any:
        market = options.get("instance_market_options") or {}
        spot = "spot" in (market, market.get("MarketType") if isinstance(market, dict) else None)
        refused = spot and (folder / "no-spot").exists()
        with (folder / "launches.jsonl").open("a") as log:
            print(json.dumps({"type": options["instance_type"], "spot": spot, "refused": refused}), file=log)
        if refused:
            raise EC2ClientError("InsufficientInstanceCapacity", "there is no spot capacity")
        return run_instances(self, *arguments, **options)

    InstanceBackend.run_instances = run_or_refuse
    ThreadedMotoServer(ip_address=address, port=port, verbose=False).start()
    while True:
        instances = [
            {
                "id": instance.id,
                "type": instance.instance_type,
                "state": instance._state.name,
                "address": instance.private_ip,
                "public": instance.public_ip,
                "spot": instance.lifecycle == "spot",
            }
            for account in list(ec2_backends.values())
            for reservation in list(account[REGION].reservations.values())
            for instance in reservation.instances
        ]
        (folder / "new.json").write_text(json.dumps(instances))
        (folder / "new.json").rename(folder / "instances.json")
        time.sleep(0.3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
