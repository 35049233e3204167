"""`python -m c2mabv_jax` is the command `c2mabv`."""

from c2mabv_jax.cli import main

if __name__ == "__main__":
    main()
