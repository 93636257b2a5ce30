package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// protocol marks our routes in the kernel's table, so that stale ones can be
// told from everybody else's.
const protocol = "93"

// peer is a node as the network sees it: where its pods are and how to get
// there. Only IPv4.
type peer struct {
	cidr netip.Prefix
	via  netip.Addr
}

// peers divides the nodes into this one and the others that can be reached.
func peers(name string, nodes []*v1.Node) (self peer, others []peer) {
	for _, node := range nodes {
		p, ok := peerOf(node)
		switch {
		case !ok:
		case node.Name == name:
			self = p
		default:
			others = append(others, p)
		}
	}
	return self, others
}

// peerOf reads a node; it is not ok while address or pod range are missing.
func peerOf(node *v1.Node) (p peer, ok bool) {
	for _, cidr := range append([]string{node.Spec.PodCIDR}, node.Spec.PodCIDRs...) {
		if prefix, err := netip.ParsePrefix(cidr); err == nil && prefix.Addr().Is4() {
			p.cidr = prefix
			break
		}
	}
	for _, address := range node.Status.Addresses {
		if address.Type != v1.NodeInternalIP {
			continue
		}
		if ip, err := netip.ParseAddr(address.Address); err == nil && ip.Is4() {
			p.via = ip
			break
		}
	}
	return p, p.cidr.IsValid() && p.via.IsValid()
}

// plan compares what ip(8) lists with what should be, and gives the ip(8)
// arguments that make them equal. It never touches what is right already.
func plan(current string, wanted []peer) [][]string {
	have := map[string]string{}
	for line := range strings.Lines(current) {
		words := strings.Fields(line)
		if len(words) >= 3 && words[1] == "via" {
			have[destination(words[0])] = words[2]
		}
	}
	var commands [][]string
	for _, p := range wanted {
		cidr := p.cidr.Masked().String()
		if have[cidr] != p.via.String() {
			commands = append(commands, []string{"-4", "route", "replace", cidr, "via", p.via.String(), "proto", protocol})
		}
		delete(have, cidr)
	}
	for cidr, via := range have {
		commands = append(commands, []string{"-4", "route", "del", cidr, "via", via, "proto", protocol})
	}
	return commands
}

// destination adds the /32 that ip(8) leaves out.
func destination(word string) string {
	if !strings.Contains(word, "/") {
		return word + "/32"
	}
	return word
}

// syncRoutes adds and corrects the routes to the other nodes' pods, and
// removes those to nodes that are gone.
func syncRoutes(ctx context.Context, others []peer) error {
	current, err := command(ctx, "ip", "-4", "route", "show", "proto", protocol)
	if err != nil {
		return err
	}
	for _, args := range plan(current, others) {
		if _, err := command(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// command runs a program and returns what it prints.
func command(ctx context.Context, name string, args ...string) (string, error) {
	return input(ctx, "", name, args...)
}

func input(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
