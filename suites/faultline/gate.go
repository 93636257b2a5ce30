package main

import (
	"os"

	"faultline/reports/gate"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

// policyVariable names the file of a policy in place of the default.
const policyVariable = "FAULTLINE_POLICY"

// policyNamed tells whether the caller wants a policy to decide.
func policyNamed() bool { return os.Getenv(policyVariable) != "" }

// policyAgain is the policy for a run that has been judged before: the one that is
// named now, or the one in the record.
func policyAgain(before *record.Gate, claims []record.Claim) (p *gate.Policy, enforced bool, err error) {
	if policyNamed() {
		p, err = gate.Load(os.Getenv(policyVariable), claims)
		return p, true, err
	}
	return gate.Recorded(before, claims)
}

// judgeAndRemember lets the policy judge a run that is new, and adds it to the
// history. A gate that fails is a failure of the harness: what the run found is
// published all the same, and it is not added, lest a regression become the yardstick.
func judgeAndRemember(run *record.Run, p *gate.Policy, enforced bool) {
	history := gate.History(rundir.History())
	err := gate.Judge(run, p, enforced, history)
	if err == nil {
		err = history.Add(gate.EntriesOf(run), int(p.History.Keep))
	}
	if err != nil {
		run.Failures = append(run.Failures, "the gate: "+err.Error())
	}
}
