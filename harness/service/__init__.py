"""A team's own service: what its folder says, Dockerfiles for it in every strategy, and what to do if one fails."""
