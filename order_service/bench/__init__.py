"""What `order-service bench` needs: a load generator, cheap partners, and the floor that PostgreSQL sets."""
