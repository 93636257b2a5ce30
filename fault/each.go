package fault

import (
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
