// Command podnet is the pod network of the offline node image, one agent a
// node. It writes the node's CNI configuration, keeps a route to every other
// node's pods and masquerades what pods send out of the cluster.
//
// It only ever adds to what works: while the API server is away, the routes
// and rules that exist stay as they are.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// resync is how often the agent looks again although nothing changed, to
// repair what somebody else took away.
const resync = 30 * time.Second

func main() {
	node := flag.String("node", os.Getenv("NODE_NAME"), "name of this node")
	subnet := flag.String("pod-subnet", os.Getenv("POD_SUBNET"), "addresses of all pods, such as 10.244.0.0/16")
	conflist := flag.String("cni-config", "/etc/cni/net.d/10-faultline.conflist", "CNI configuration to write")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *node, *subnet, *conflist); err != nil && ctx.Err() == nil {
		log.Fatal("podnet: ", err)
	}
}

func run(ctx context.Context, node, subnet, conflist string) error {
	pods, err := netip.ParsePrefix(subnet)
	if err != nil {
		return fmt.Errorf("pod subnet: %w", err)
	}
	client, err := nodeClient()
	if err != nil {
		return err
	}
	agent := &agent{node: node, pods: pods, conflist: conflist, changed: make(chan struct{}, 1)}
	group, ctx := errgroup.WithContext(ctx)
	agent.nodes = agent.watch(client)
	group.Go(func() error { agent.informer.RunWithContext(ctx); return ctx.Err() })
	group.Go(func() error { return agent.loop(ctx) })
	return group.Wait()
}

// nodeClient talks to the API servers at the address that kind gives, which
// works before kube-proxy does, or else through the cluster's service. It
// knows the core types only, which keeps the agent small.
func nodeClient() (rest.Interface, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("not in a cluster: %w", err)
	}
	if endpoint := os.Getenv("CONTROL_PLANE_ENDPOINT"); endpoint != "" {
		config.Host = "https://" + endpoint
	}
	config.APIPath, config.GroupVersion = "/api", &v1.SchemeGroupVersion
	types := runtime.NewScheme()
	if err := v1.AddToScheme(types); err != nil {
		return nil, err
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(types).WithoutConversion()
	return rest.RESTClientFor(config)
}

// agent is the state of one node's agent.
type agent struct {
	node     string
	pods     netip.Prefix
	conflist string
	changed  chan struct{}
	nodes    cache.Store
	informer cache.Controller
}

// watch follows all nodes and pokes the loop when one changes.
func (a *agent) watch(client rest.Interface) cache.Store {
	poke := func() {
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
	store, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client, "nodes", v1.NamespaceAll, fields.Everything()),
		ObjectType:    &v1.Node{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { poke() }, UpdateFunc: func(_, _ any) { poke() }, DeleteFunc: func(any) { poke() },
		},
	})
	a.informer = informer
	return store
}

// loop brings the node in line whenever a node changes, and now and then
// anyway. It does nothing before it has seen all nodes once.
func (a *agent) loop(ctx context.Context) error {
	tick := time.NewTicker(resync)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.changed:
		case <-tick.C:
		}
		if !a.informer.HasSynced() {
			continue
		}
		if err := a.apply(ctx); err != nil {
			log.Print("will try again: ", err)
		}
	}
}

// apply makes routes, masquerading and CNI configuration what they should be,
// in this order: pods start as soon as there is a CNI configuration.
func (a *agent) apply(ctx context.Context) error {
	self, others := peers(a.node, a.list())
	if !self.cidr.IsValid() {
		return fmt.Errorf("node %s has no pod addresses yet", a.node)
	}
	if err := syncRoutes(ctx, others); err != nil {
		return err
	}
	if err := masquerade(ctx, self.cidr, a.pods); err != nil {
		return err
	}
	return writeConflist(a.conflist, self)
}

func (a *agent) list() []*v1.Node {
	var nodes []*v1.Node
	for _, object := range a.nodes.List() {
		if node, ok := object.(*v1.Node); ok {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
