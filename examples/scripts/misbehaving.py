"""Scripts that make trouble, one for each --how: what a sweep has to live with.

python examples/scripts/misbehaving.py --how crash --x 0.7
"""

import argparse
import os
import signal
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--how", choices=["crash", "nan", "fork", "ignore", "print"], required=True)
    parser.add_argument("--x", type=float, required=True)
    args = parser.parse_args()
    if args.how == "crash" and args.x > 0.5:
        raise ValueError(f"x={args.x} is too large")
    if args.how == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if args.how == "fork":
        for leaves in (False, True):  # one child in this group, one in a session of its own
            if os.fork() == 0:
                if leaves:
                    os.setsid()
                time.sleep(3600)
    for epoch in range(1, 5):
        if args.how == "print":
            for _ in range(25):
                sys.stdout.write("nothing to see here\n" * 50_000)
        loss = float("nan") if args.how == "nan" and args.x > 0.5 else args.x / epoch
        print(f"epoch {epoch}: loss={loss}", flush=True)
    if args.how in ("fork", "ignore"):
        time.sleep(3600)  # until it is stopped


if __name__ == "__main__":
    main()
