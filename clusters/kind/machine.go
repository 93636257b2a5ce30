package kind

import (
	"faultline/clusters/engine"
)

// CgroupRoot is where the hierarchy is mounted, on every distribution.
const CgroupRoot = "/sys/fs/cgroup"

// examine finds out what nodes on this machine have to be told.
func examine() (Machine, error) {
	restricted, err := engine.CapabilitiesRestricted()
	if err != nil {
		return Machine{}, err
	}
	return Machine{CgroupV1: !engine.CgroupV2(CgroupRoot), RestrictedCapabilities: restricted}, nil
}
