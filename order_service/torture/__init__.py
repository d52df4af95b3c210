"""The crash proof as a command: a real stack that is killed, frozen, cut off and lied to, and then verified.

`stack` starts servers, partners and replicas; `forkserver` makes a start of a replica cheap, because thousands of
kills need thousands of starts. The service itself never imports this package.
"""
