package engine

import (
	"math"
	"strings"
	"testing"
)

func TestJudgements(t *testing.T) {
	for name, c := range map[string]struct {
		check Check
		want  Status
	}{
		"inotify enough":    {examineInotify(524288, 512), OK},
		"inotify too few":   {examineInotify(192536, 128), Warn},
		"files plenty":      {examineOpenFiles(1 << 20), OK},
		"files unlimited":   {examineOpenFiles(math.MaxUint64), OK},
		"files few":         {examineOpenFiles(20000), Warn},
		"files too few":     {examineOpenFiles(1024), Fail},
		"btrfs":             {judgeBtrfs("nodev\ttmpfs\n\tbtrfs\n", true), OK},
		"btrfs tools":       {judgeBtrfs("\tbtrfs\n", false), Warn},
		"btrfs kernel":      {judgeBtrfs("\text4\nnodev\tnotbtrfs\n", true), Warn},
		"memory enough":     {compare("memory", 8<<30, 4<<30, "x"), OK},
		"memory short":      {compare("memory", 2<<30, 4<<30, "x"), Fail},
		"memory no matter":  {compare("memory", 0, 0, "x"), OK},
		"loop missing":      {examineLoop("/does/not/exist"), Warn},
		"cgroups elsewhere": {examineCgroups("/does/not/exist"), Warn},
		"registry":          {examineRegistry(nil), OK},
	} {
		if c.check.Status != c.want {
			t.Errorf("%s: %+v, want %s", name, c.check, c.want)
		}
		if (c.check.Status != OK) != (c.check.Fix != "") {
			t.Errorf("%s: a problem, and only a problem, has a fix: %+v", name, c.check)
		}
	}
}

func TestAvailableMemory(t *testing.T) {
	if got := memoryField("MemTotal: 100 kB\nMemAvailable:   24684096 kB\n", "MemAvailable"); got != 24684096*1024 {
		t.Errorf("availableMemory = %d", got)
	}
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	healthy := Print(&out, []Check{
		{"disk", OK, "80.0 GiB free", ""},
		{"container engine", Fail, "none", "sudo apt-get install docker.io"},
	})
	want := "ok    disk              80.0 GiB free\nfail  container engine  none  →  sudo apt-get install docker.io\n"
	if healthy || out.String() != want {
		t.Errorf("healthy %v, printed\n%s", healthy, out.String())
	}
}
