// Package policy holds the specs of what document A says of certificates, of access and of
// dividing a cluster (A:L74-76, A:L78-85). Most claims are a list of rights: who may do what.
// Every API server decides by itself, from what it remembers, so that each is asked directly:
// while all are up, while one is down, and that one from its first answer on when it is back.
package policy

const topology = "multi-master"
