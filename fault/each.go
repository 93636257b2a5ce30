package fault

import (
	"cmp"
	"errors"
	"sync"
)

// each does something for all items at once and waits for all of them: a failed
// one must not leave the others half done.
func each[T any](items []T, do func(n int, item T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for n, item := range items {
		wg.Go(func() { errs[n] = do(n, item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// both does two things at once and waits for both. When both fail, the first one's error
// is the one that matters.
func both(first, second func() error) error {
	errs := make([]error, 2)
	_ = each([]func() error{first, second}, func(n int, do func() error) error {
		errs[n] = do()
		return nil
	})
	return cmp.Or(errs...)
}
