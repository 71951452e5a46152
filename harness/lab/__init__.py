"""The equipment of a run: bases, depot, registry, link, node, stage; and the code that ends all of it."""
