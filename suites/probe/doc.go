// Package probe watches the steady state of a cluster: it asks the API server,
// the scheduler, the controller manager and the workload the same small things
// over and over, and remembers when each of them answered and how it failed.
//
// Sampling is open loop: a slow answer delays no later sample. Every request
// may take Options.Timeout in all, from sending (with dialling, where a new
// connection is needed) to the last byte of the answer. Requests to the API
// carry three quarters of that as their server-side time limit, so that an API
// server whose store hangs says so itself, and only a server that is frozen or
// unreachable leaves the probe without an answer.
package probe
