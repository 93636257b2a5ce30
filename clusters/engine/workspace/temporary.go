package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// temporary begins the names of the folders of [Temporary], and names the lock for making and
// removing them.
const temporary = "temporary"

// Temporary makes a folder in the cache, and returns with it what removes it. It is locked as
// long as this process lives; that of one that was killed is removed by [Sweep].
func Temporary(ctx context.Context, name string) (dir string, remove func(), err error) {
	release, err := Lock(ctx, temporary)
	if err != nil {
		return "", nil, err
	}
	defer release()
	cache, err := Cache()
	if err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(cache, temporary+"-"+name+"-"); err != nil {
		return "", nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	used, err := use(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() {
		_ = os.RemoveAll(dir)
		_ = used.Close()
	}, nil
}

// use locks a folder until the returned file is closed. It fails with EWOULDBLOCK where
// somebody else uses it.
func use(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return file, nil
}

// Sweep removes the folders of [Temporary] whose processes were killed.
func Sweep(ctx context.Context) error {
	release, err := Lock(ctx, temporary)
	if err != nil {
		return err
	}
	defer release()
	cache, err := Cache()
	if err != nil {
		return err
	}
	all, err := filepath.Glob(filepath.Join(cache, temporary+"-*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range all {
		used, err := use(dir)
		switch {
		case err == nil:
			errs = append(errs, os.RemoveAll(dir), used.Close())
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
