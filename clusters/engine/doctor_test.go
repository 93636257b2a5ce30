package engine

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJudgements(t *testing.T) {
	for name, c := range map[string]struct {
		check Check
		want  Status
	}{
		"inotify plenty":    {examineInotify(inotify{524288, 512, 100}, 100), OK},
		"inotify few":       {examineInotify(inotify{192536, 128, 20}, 100), Warn},
		"inotify too few":   {examineInotify(inotify{524288, 128, 40}, 100), Fail},
		"inotify used up":   {examineInotify(inotify{524288, 512, 500}, 100), Fail},
		"inotify no matter": {examineInotify(inotify{524288, 512, 500}, 0), OK},
		"files plenty":      {examineOpenFiles(1 << 20), OK},
		"files unlimited":   {examineOpenFiles(math.MaxUint64), OK},
		"files few":         {examineOpenFiles(20000), Warn},
		"files too few":     {examineOpenFiles(1024), Fail},
		"btrfs":             {judgeBtrfs("nodev\ttmpfs\n\tbtrfs\n"), OK},
		"btrfs kernel":      {judgeBtrfs("\text4\nnodev\tnotbtrfs\n"), Warn},
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

func TestInotifyAdviceCoversWhatIsUsedAndNeeded(t *testing.T) {
	if fix := examineInotify(inotify{524288, 512, 500}, 100).Fix; fix != "sudo sysctl fs.inotify.max_user_instances=600" {
		t.Errorf("advice %q", fix)
	}
}

func TestInotifyInstancesOfRootAreCounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has processes of root's")
	}
	proc := t.TempDir()
	for file, target := range map[string]string{"7/fd/3": "anon_inode:inotify", "7/fd/4": "/dev/null", "8/fd/3": "anon_inode:inotify", "self/fd/3": "anon_inode:inotify"} {
		file = filepath.Join(proc, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.Symlink(target, file)); err != nil {
			t.Fatal(err)
		}
	}
	if got := inotifyOfRoot(proc); got != 2 {
		t.Errorf("%d instances, want 2", got)
	}
	if err := os.Chown(filepath.Join(proc, "8"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if got := inotifyOfRoot(proc); got != 1 {
		t.Errorf("%d instances, want the one of root", got)
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
