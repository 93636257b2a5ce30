package drill

import (
	"fmt"

	"faultline/clusters"
)

// SameData fails unless all members of etcd have the same data, up to the revision of the
// one that is furthest behind.
func (d *Drill) SameData() error {
	var members []clusters.EtcdMember
	for _, m := range d.EtcdMembers() {
		status, err := d.EtcdStatus(d.ctx, m)
		if err != nil {
			return err
		}
		members = append(members, status)
	}
	common := members[0].Revision
	for _, m := range members {
		common = min(common, m.Revision)
	}
	hashes := map[uint32]string{}
	for _, m := range members {
		hash, err := d.EtcdHash(d.ctx, m.Instance, common)
		if err != nil {
			return err
		}
		hashes[hash] = m.Instance.String()
	}
	if len(hashes) > 1 {
		return fmt.Errorf("up to revision %d their hashes differ: %v", common, hashes)
	}
	return nil
}
