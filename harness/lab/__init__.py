"""The equipment of a run: bases, depot, registry, link, node, stage; and what ends it all again."""
