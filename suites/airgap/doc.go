// Package airgap holds the specs of what document A says of clusters without a way out of their
// network: images are at hand, from a registry of one's own or on the nodes (A:L79, A:L97).
package airgap

const topology = "air-gapped"
