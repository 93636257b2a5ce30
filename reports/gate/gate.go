// Package gate judges a run by a policy: which claims have to hold, how much may
// be left unproven, and how much slower than in earlier runs a recovery may be.
package gate

import (
	"fmt"
	"slices"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// Judge lets the policy judge the run, and leaves the findings in the record. They
// decide the outcome if they are enforced. A run is compared with the earlier runs
// of the history or, when it has been judged before, with the figures that its record
// kept of them: then the answer is the same wherever it is asked.
func Judge(run *record.Run, p *Policy, enforced bool, history History) error {
	if before := run.Gate; before != nil {
		p.judge(run, enforced, inRecord(before))
		run.Gate.Unreadable = before.Unreadable
		return nil
	}
	entries, unreadable, err := history.Read()
	if err != nil {
		return err
	}
	p.judge(run, enforced, inHistory(entries, run))
	run.Gate.Unreadable = unreadable
	return nil
}

func (p *Policy) judge(run *record.Run, enforced bool, earlier earlierFor) {
	g := &record.Gate{Policy: p.name, Text: p.text, Enforced: enforced, Findings: []record.Finding{}}
	j := judgement{p, run, g}
	g.Comparisons = p.Regression.compare(run, earlier)
	j.exceptions()
	j.untested()
	j.broken()
	j.inconclusive()
	j.skipped()
	j.regressions()
	j.nothing()
	run.Gate = g
}

// judgement is one policy on one run.
type judgement struct {
	*Policy
	run *record.Run
	to  *record.Gate
}

func (j *judgement) find(rule record.Rule, outcome record.Outcome, experiments []string, text string, values ...any) {
	j.to.Findings = append(j.to.Findings, record.Finding{Rule: rule, Outcome: outcome, Text: fmt.Sprintf(text, values...), Experiments: experiments})
}

// exceptions tells of those that are over or not needed: they are to be removed.
func (j *judgement) exceptions() {
	verdicts := record.Summarise(j.run).Verdicts
	for _, x := range j.Claims.Exceptions {
		if !x.Until.covers(j.run.StartedAt) {
			j.find(record.RuleExceptions, record.OutcomeHeld, nil, "the exception of %s ended after %s", x.Claim, x.Until)
			continue
		}
		if slices.ContainsFunc(verdicts, func(v record.ClaimVerdict) bool { return v.Claim == x.Claim && v.Verdict.Passes() }) {
			j.find(record.RuleExceptions, record.OutcomeHeld, nil, "the exception of %s is not needed: it held", x.Claim)
		}
	}
}

// untested finds what the policy lists and no experiment looked at, or none with a result: however
// many may be inconclusive, a claim that must hold is not proven by one of them.
func (j *judgement) untested() {
	for _, name := range j.Claims.MustHold {
		tried := j.of(name)
		tested := slices.ContainsFunc(tried, func(e record.Experiment) bool { return conclusive(e.Verdict) })
		if excused, _ := j.excuse(name); tested || excused {
			continue
		}
		var ids []string
		for _, e := range tried {
			ids = append(ids, e.ID)
		}
		how := "no experiment tested it"
		if len(ids) > 0 {
			how = "every experiment of it was inconclusive"
		}
		j.find(record.RuleClaims, record.OutcomeInconclusive, ids, "%s must hold, and %s", name, how)
	}
}

// of are the experiments of a claim or a group.
func (j *judgement) of(name string) []record.Experiment {
	return slices.DeleteFunc(slices.Clone(j.run.Experiments), func(e record.Experiment) bool {
		return !slices.ContainsFunc(e.Claims, func(id string) bool { return j.named(name, id) })
	})
}

// conclusive tells whether a verdict says anything about the claims.
func conclusive(v record.Verdict) bool { return v.Passes() || v == record.Broken }

// nothing finds that no experiment passed, where everything that did not was tolerated: tolerance
// is for a few of many, and a run that proves nothing has not held.
func (j *judgement) nothing() {
	passed := slices.ContainsFunc(j.run.Experiments, func(e record.Experiment) bool { return e.Verdict.Passes() })
	worse := slices.ContainsFunc(j.to.Findings, func(f record.Finding) bool { return f.Outcome != record.OutcomeHeld })
	if len(j.run.Experiments) > 0 && !passed && !worse {
		j.find(record.RuleInconclusive, record.OutcomeInconclusive, nil, "of %s none passed", format.Count(len(j.run.Experiments), "experiment"))
	}
}

// named tells whether a name in the policy, of a claim or a group, means the claim.
func (j *judgement) named(name, claim string) bool {
	return name == claim || name == j.run.Claim(claim).Group
}

// excuse finds the exception that a claim has on the day of the run.
func (j *judgement) excuse(claim string) (excused bool, why string) {
	for _, x := range j.Claims.Exceptions {
		if x.Claim == claim && x.Until.covers(j.run.StartedAt) {
			return true, fmt.Sprintf("%s is excepted until %s: %s", claim, x.Until, x.Reason)
		}
	}
	return false, ""
}

// demands tells whether an experiment of these claims counts: one of them must hold,
// or there is none. Where it does not, why says what excuses it.
func (j *judgement) demands(claims []string) (demanded bool, why string) {
	why = "its claims need not hold"
	for _, id := range claims {
		if len(j.Claims.MustHold) > 0 && !slices.ContainsFunc(j.Claims.MustHold, func(name string) bool { return j.named(name, id) }) {
			continue
		}
		excused, reason := j.excuse(id)
		if !excused {
			return true, ""
		}
		why = reason
	}
	return len(claims) == 0, why
}

// broken judges each experiment that contradicts its claims.
func (j *judgement) broken() {
	for i := range j.run.Experiments {
		e := &j.run.Experiments[i]
		if e.Verdict != record.Broken {
			continue
		}
		if demanded, why := j.demands(e.Claims); demanded {
			j.find(record.RuleClaims, record.OutcomeClaimBroken, []string{e.ID}, "%s on %s is broken", e.Name, e.Topology)
		} else {
			j.find(record.RuleClaims, record.OutcomeHeld, []string{e.ID}, "%s on %s is broken and tolerated: %s", e.Name, e.Topology, why)
		}
	}
}

// inconclusive counts the experiments that prove nothing and should.
func (j *judgement) inconclusive() {
	var ids []string
	for i := range j.run.Experiments {
		e := &j.run.Experiments[i]
		if conclusive(e.Verdict) {
			continue
		}
		if demanded, why := j.demands(e.Claims); demanded {
			ids = append(ids, e.ID)
		} else {
			j.find(record.RuleInconclusive, record.OutcomeHeld, []string{e.ID}, "%s on %s is inconclusive and tolerated: %s", e.Name, e.Topology, why)
		}
	}
	j.count(record.RuleInconclusive, len(ids), int(j.Tolerate.Inconclusive), "inconclusive", ids)
}

// skipped counts the experiments that the machine cannot carry. A layout that no
// machine can have tests no claim and is left out.
func (j *judgement) skipped() {
	n := 0
	for _, s := range j.run.Skipped {
		if demanded, _ := j.demands(s.Claims); demanded && len(s.Claims) > 0 {
			n++
		}
	}
	j.count(record.RuleSkipped, n, int(j.Tolerate.Skipped), "skipped", nil)
}

func (j *judgement) count(rule record.Rule, n, tolerated int, what string, ids []string) {
	outcome := record.OutcomeHeld
	switch {
	case n == 0:
		return
	case n > tolerated:
		outcome = record.OutcomeInconclusive
	}
	j.find(rule, outcome, ids, "%s %s; %d tolerated", format.Count(n, "experiment"), what, tolerated)
}

// regressions judges each recovery that is beyond its limit.
func (j *judgement) regressions() {
	for _, c := range j.to.Comparisons {
		if !c.Regressed {
			continue
		}
		text := fmt.Sprintf("%s on %s: %s took %s; the limit is %s, by %d earlier runs with a median of %s and a spread of %s",
			c.Name, c.Topology, c.Recovery, format.Seconds(c.Seconds), format.Seconds(*c.Limit), c.Records, format.Seconds(*c.Median), format.Seconds(*c.Spread))
		i := slices.IndexFunc(j.run.Experiments, func(e record.Experiment) bool { return e.ID == c.Experiment })
		if demanded, why := j.demands(j.run.Experiments[i].Claims); demanded {
			j.find(record.RuleRegression, record.OutcomeRegression, []string{c.Experiment}, "%s", text)
		} else {
			j.find(record.RuleRegression, record.OutcomeHeld, []string{c.Experiment}, "%s; tolerated: %s", text, why)
		}
	}
}
