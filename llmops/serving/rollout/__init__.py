"""From the registry to what answers: a reconciler follows an alias and writes a plan, which workers carry out."""
