package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"faultline/reports/record"
)

// pageSize is how many objects are listed at once.
const pageSize = 1000

// object is what a list tells of an object.
type object struct {
	name    string
	version string
}

// listing is a complete list at one resource version.
type listing struct {
	version string
	objects []object
}

// refusalError is an answer that is no list.
type refusalError struct {
	way    record.Way
	detail string
}

func (e *refusalError) Error() string { return e.detail }

// listMetadata lists consistently: the first page asks etcd for its newest
// state, the others are of the same state.
func listMetadata(ctx context.Context, c *caller, path, selector string) (listing, error) {
	var all listing
	next := ""
	for {
		query := selector + "&limit=" + strconv.Itoa(pageSize)
		if next != "" {
			query += "&continue=" + url.QueryEscape(next)
		}
		var err error
		if next, err = listPage(ctx, c, c.ask(http.MethodGet, path, query, mediaMetadataList), &all); err != nil {
			return listing{}, err
		}
		if next == "" {
			return all, nil
		}
	}
}

func listPage(ctx context.Context, c *caller, r request, all *listing) (next string, err error) {
	a, err := c.do(ctx, r, nil)
	if err != nil {
		return "", err
	}
	defer a.free()
	if o := a.outcome(); o.way != record.Up {
		return "", &refusalError{way: o.way, detail: o.detail}
	}
	var page struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
			Continue        string `json:"continue"`
		} `json:"metadata"`
		Items []struct {
			Metadata struct {
				Name            string `json:"name"`
				ResourceVersion string `json:"resourceVersion"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if err := json.Unmarshal(a.body, &page); err != nil {
		return "", fmt.Errorf("read a list of objects: %w", err)
	}
	for _, item := range page.Items {
		all.objects = append(all.objects, object{item.Metadata.Name, item.Metadata.ResourceVersion})
	}
	all.version = page.Metadata.ResourceVersion
	return page.Metadata.Continue, nil
}
