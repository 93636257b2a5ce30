package clusters

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// transient resources come and go in every cluster, and names of their objects are made up.
var transient = []string{
	"events", "leases", "endpointslices", "endpoints", "pods", "replicasets", "controllerrevisions",
	"certificatesigningrequests", "componentstatuses", "nodes", "csinodes", "bindings", "ipaddresses", "volumeattachments",
	// kubeadm's bootstrap tokens expire.
	"secrets",
}

// Identity tells an object from another of the same name, and from itself before a change.
type Identity struct {
	// Namespace is that of the object, and of a namespace itself.
	Namespace string
	UID       types.UID
	Version   string
}

// Identities looks at all lasting objects, by resource, namespace and name.
func (c *Cluster) Identities(ctx context.Context) (map[string]Identity, error) {
	config := c.RESTConfig(c.Front())
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kinds, err := c.lasting()
	if err != nil {
		return nil, err
	}
	found := make([]map[string]Identity, len(kinds))
	var group errgroup.Group
	group.SetLimit(8)
	for i, kind := range kinds {
		group.Go(func() (err error) {
			found[i], err = c.identitiesOf(ctx, client, kind)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := map[string]Identity{}
	for _, some := range found {
		maps.Copy(all, some)
	}
	return all, nil
}

// objects lists all lasting objects by resource, namespace and name, sorted.
func (c *Cluster) objects(ctx context.Context) ([]string, error) {
	all, err := c.Identities(ctx)
	return slices.Sorted(maps.Keys(all)), err
}

// lasting lists the resources whose objects last.
func (c *Cluster) lasting() ([]schema.GroupVersionResource, error) {
	client, err := c.Client(c.Front())
	if err != nil {
		return nil, err
	}
	lists, err := client.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("list the API's resources: %w", err)
	}
	lists = discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, lists)
	found, err := discovery.GroupVersionResources(lists)
	if err != nil {
		return nil, err
	}
	var kinds []schema.GroupVersionResource
	for kind := range found {
		if !slices.Contains(transient, kind.Resource) {
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
}

func (c *Cluster) identitiesOf(ctx context.Context, client metadata.Interface, kind schema.GroupVersionResource) (map[string]Identity, error) {
	list, err := client.Resource(kind).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind.Resource, err)
	}
	all := map[string]Identity{}
	for _, o := range list.Items {
		namespace := o.Namespace
		if kind.Resource == "namespaces" {
			namespace = o.Name
		}
		if !slices.Contains(c.ignored, namespace) {
			all[strings.TrimSpace(kind.Resource+" "+o.Namespace)+"/"+o.Name] = Identity{namespace, o.UID, o.ResourceVersion}
		}
	}
	return all, nil
}
