package kind_test

import (
	"context"
	"os"
	"testing"

	"faultline/clusters/clustertest"
)

// TestMain also proves that all contracts together leave nothing behind.
func TestMain(m *testing.M) { os.Exit(clustertest.Main(context.Background(), m)) }
