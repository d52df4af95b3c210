"""`python -m order_service`: the same as the `order-service` command."""

from order_service.cli import main

if __name__ == "__main__":
    main()
