package recovery

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestInDataTellsAbsenceFromTrouble(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "member", "db")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("\x00marker\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data, text, files string
		fails             bool
	}{
		"there":     {folder, "marker", file + "\n", false},
		"not there": {folder, "another", "", false},
		"no data":   {filepath.Join(folder, "none"), "marker", "", true},
	} {
		files, err := exec.Command("sh", "-c", inData, "sh", c.data, c.text).Output()
		if string(files) != c.files || (err != nil) != c.fails {
			t.Errorf("%s: got %q, %v", name, files, err)
		}
	}
}

func TestUnreadableIsTheAnswerOfAnAPIServerThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		is     bool
	}{
		"it fails":         {apierrors.NewInternalError(errors.New("encrypted data")), true},
		"it reads it":      {nil, false},
		"there is no such": {apierrors.NewNotFound(corev1.Resource("secrets"), secret), false},
		"nobody answers":   {errors.New("connection refused"), false},
	} {
		client := fake.NewClientset()
		client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, &corev1.Secret{}, c.answer
		})
		if err := unreadable(t.Context(), client); (err == nil) != c.is {
			t.Errorf("%s: %v", name, err)
		}
	}
}
