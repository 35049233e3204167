"""`python -m c2mabv_jax` is the command `c2mabv`."""

from c2mabv_jax import interrupts


def main() -> None:
    """The command line; ready for Ctrl-C before the slow imports."""
    interrupts.install()
    from c2mabv_jax import cli

    cli.main()


if __name__ == "__main__":
    main()
