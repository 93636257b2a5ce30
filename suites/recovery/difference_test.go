package recovery

import (
	"maps"
	"testing"

	"faultline/clusters"
)

// world is a namespace with an object, and an object elsewhere with a newer one beside it.
func world(change func(map[string]clusters.Identity)) map[string]clusters.Identity {
	w := map[string]clusters.Identity{
		"namespaces/tenant":       {Namespace: "tenant", UID: "1", Version: "1"},
		"configmaps tenant/a":     {Namespace: "tenant", UID: "2", Version: "2"},
		"configmaps other/kept":   {Namespace: "other", UID: "3", Version: "3"},
		"configmaps other/newer":  {Namespace: "other", UID: "4", Version: "9"},
		"clusterroles/everything": {UID: "5", Version: "5"},
	}
	change(w)
	return w
}

func unchanged(map[string]clusters.Identity) {}

func remadeIn(w map[string]clusters.Identity) {
	w["namespaces/tenant"] = clusters.Identity{Namespace: "tenant", UID: "11", Version: "21"}
	w["configmaps tenant/a"] = clusters.Identity{Namespace: "tenant", UID: "12", Version: "22"}
}

func takenBack(w map[string]clusters.Identity) {
	delete(w, "configmaps other/newer")
	w["configmaps other/kept"] = clusters.Identity{Namespace: "other", UID: "3", Version: "2"}
}

func then(changes ...func(map[string]clusters.Identity)) func(map[string]clusters.Identity) {
	return func(w map[string]clusters.Identity) {
		for _, change := range changes {
			change(w)
		}
	}
}

func set(name string, i clusters.Identity) func(map[string]clusters.Identity) {
	return func(w map[string]clusters.Identity) { w[name] = i }
}

func without(name string) func(map[string]clusters.Identity) {
	return func(w map[string]clusters.Identity) { delete(w, name) }
}

func TestAnImportAndARestoreAreToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		change           func(map[string]clusters.Identity)
		imported, backup bool
	}{
		"an import":                               {remadeIn, true, false},
		"a restore":                               {takenBack, false, true},
		"nothing":                                 {unchanged, false, false},
		"both":                                    {then(remadeIn, takenBack), false, false},
		"an import that is short":                 {then(remadeIn, without("configmaps tenant/a")), false, false},
		"an import that leaves one":               {then(remadeIn, set("configmaps tenant/a", world(unchanged)["configmaps tenant/a"])), false, false},
		"an import that brings more":              {then(remadeIn, set("configmaps tenant/b", clusters.Identity{Namespace: "tenant", UID: "13"})), false, false},
		"an import that changes another object":   {then(remadeIn, set("clusterroles/everything", clusters.Identity{UID: "5", Version: "6"})), false, false},
		"an import that makes another one anew":   {then(remadeIn, set("configmaps other/kept", clusters.Identity{Namespace: "other", UID: "14", Version: "3"})), false, false},
		"a restore that loses what it should not": {then(takenBack, without("configmaps other/kept")), false, false},
		"a restore that makes an object anew":     {then(takenBack, set("configmaps tenant/a", clusters.Identity{Namespace: "tenant", UID: "15"})), false, false},
		"a restore that keeps what is newer":      {set("configmaps other/kept", clusters.Identity{Namespace: "other", UID: "3", Version: "2"}), false, false},
	} {
		inside, outside := compare(world(unchanged), world(c.change), "tenant")
		if err := importedAlone(inside, outside); (err == nil) != c.imported {
			t.Errorf("%s is an import: %v", name, err)
		}
		if err := wentBack(inside, outside, "configmaps other/newer"); (err == nil) != c.backup {
			t.Errorf("%s is a restore: %v", name, err)
		}
	}
}

func TestCompareForgetsNothing(t *testing.T) {
	before, after := world(unchanged), world(then(remadeIn, takenBack))
	after["secrets/new"] = clusters.Identity{UID: "7"}
	inside, outside := compare(before, after, "tenant")
	told := map[string]int{"remade": len(inside.remade), "kept": len(outside.kept), "changed": len(outside.changed), "gone": len(outside.gone), "added": len(outside.added)}
	if want := map[string]int{"remade": 2, "kept": 1, "changed": 1, "gone": 1, "added": 1}; !maps.Equal(told, want) {
		t.Errorf("got %v, want %v", told, want)
	}
}
