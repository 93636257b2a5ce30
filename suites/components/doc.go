// Package components holds the specs of document A's component table (A:L26 to
// A:L36): what the loss of etcd, the API server, the scheduler or the
// controller manager costs, and what recovers by itself.
package components
