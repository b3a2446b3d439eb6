"""What the inspectors tell of a server, without I/O: what to ask, how to read the replies, how to say it to people.

The terminal (broker/cli) asks through a client library, any server that speaks the protocol; who is in the server's own
process may execute the same requests there.
"""
