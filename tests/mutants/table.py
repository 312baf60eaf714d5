"""Mechanisms that keep the registry from losing, repeating or blocking anything; each can be switched off, and then a test must
fail. An edit is (file, text that is there, text in its place); in the latter OFF is true while that mechanism is off."""

REGISTRY, TEMPORAL = "src/registry/", "src/temporal/"

# Both go over in a state: the rules' own memory of what was applied, and the keys of clients.
APPLIED = (REGISTRY + "batch.rs", "let last = self.state.applied.get(&batch.replica);",
           "let last = self.state.applied.get(&batch.replica).filter(|_| !OFF);")
KEYS = (REGISTRY + "idempotency.rs", ".filter(|found| !due(found)) {", ".filter(|found| !due(found) && !OFF) {")
STATE_LEFT = (TEMPORAL + "codec.rs", "    let raw = encode_state(state)?;\n    let packed = raw",
              "    let none = State::default();\n    let state = if OFF { &none } else { state };\n    let raw = encode_state(state)?;\n    let packed = raw")
EVENTS_BEFORE = (REGISTRY + "limits.rs", "    5_000\n", "    if OFF { 2_500 } else { 5_000 }\n")
LEAK = (TEMPORAL + "workflow.rs", "        let batch: Batch = codec::decode(input)?;",
        "        if OFF { std::mem::forget(vec![1_u8; 400_000]); }\n        let batch: Batch = codec::decode(input)?;")

# name: (edits, tests that must fail, each on its own)
MECHANISMS = {
    # Replicas
    "a dead replica's run is taken over at once": (
        [(TEMPORAL + "worker.rs", ".sticky_queue_schedule_to_start_timeout(FAILOVER_AFTER)",
          ".sticky_queue_schedule_to_start_timeout(if OFF { Duration::from_secs(10) } else { FAILOVER_AFTER })")],
        ["whole replicas::an_idle_registry"]),
    "a workflow task is given up after seconds": (
        [(TEMPORAL + "workflow.rs", "    Duration::from_secs(2) +", "    Duration::from_secs(if OFF { 10 } else { 2 }) +")],
        ["failover any_replica_may_be_killed"]),
    "a poll that failed is made again at once": (
        [(TEMPORAL + "patience.rs", "Err(status) if is_poll &&", "Err(status) if !OFF && is_poll &&")],
        ["whole cuts::writes_go_on"]),
    "the view follows what others write": (
        [(TEMPORAL + "mirror.rs", "if *known != run || self.behind", "if !OFF && *known != run || self.behind")],
        ["whole replicas::a_write_by_one"]),
    "heartbeats become durable": (
        [(TEMPORAL + "mirror.rs", "if due { pending }", "if due && !OFF { pending }")],
        ["whole replicas::a_write_by_one"]),
    "a revision that a client names is waited for": (
        [("src/http/fresh.rs", "Some(revision) if reads.view().revision < revision =>",
          "Some(revision) if !OFF && reads.view().revision < revision =>")],
        ["whole replicas::a_write_by_one"]),
    "a consistent read asks": (
        [("src/http/fresh.rs", "        if self.consistent {\n", "        if self.consistent && !OFF {\n")],
        ["whole replicas::a_write_by_one", "whole histories::it_looks_like_one_registry"]),
    "who writes need not ask": (
        [(TEMPORAL + "mirror.rs", "let told = began_ms", "let told = !OFF && began_ms")],
        ["dispatch cost::who_claims"]),
    "runs that others ended leave memory": (
        [(TEMPORAL + "worker.rs", "over.iter().for_each(", "over.iter().filter(|_| !OFF).for_each(")],
        ["dispatch cost::a_run_that_another"]),
    # Cut links
    "the last batch of each replica is remembered": (
        [APPLIED], ["rules batches", "whole cuts::a_batch"]),
    "a batch that was not answered is sent again": (
        [(TEMPORAL + "ledger.rs", "Err(Attempt::Unknown(error)) => {", "Err(Attempt::Unknown(error)) if OFF => { delivered = true; break error }\n                Err(Attempt::Unknown(error)) => {")],
        ["whole cuts::a_batch"]),
    "keys of clients are kept": ([KEYS], ["rules idempotency", "whole cuts::registrations"]),
    "input is checked before a number is claimed": (
        [(TEMPORAL + "dispatch/mod.rs", "        let resolved = self.resolve(&request).await?;",
          "        if OFF && let RunId::Named(name) = &request.run_id { self.claim(name).await?; }\n        let resolved = self.resolve(&request).await?;")],
        ["dispatch starts::what_does_not_fit"]),
    "a write is answered in time": (
        [(TEMPORAL + "replica.rs", "let deadline = options.write_deadline;",
          "let deadline = if OFF { Duration::from_secs(600) } else { options.write_deadline };")],
        ["whole cuts::claims_are_exact"]),
    "reads are answered from memory": (
        [("src/http/fresh.rs", "Ok(Self { consistent, revision:", "Ok(Self { consistent: consistent || OFF, revision:")],
        ["whole outage::reads_go_on", "failover any_replica_may_be_killed"]),
    "who lapsed unheard has one more lease": (
        [(TEMPORAL + "mirror.rs", ".is_some_and(|until| now_ms <= until) {", ".is_some_and(|until| now_ms <= until && !OFF) {")],
        ["whole outage::who_lapsed"]),
    # Rules against the model
    "an older epoch changes nothing": (
        [(REGISTRY + "fleet.rs", "epoch != worker.epoch) {", "epoch != worker.epoch) && !OFF {")],
        ["rules workers", "rules model"]),
    "deletions are told": (
        [(REGISTRY + "changes.rs", "            page.removed.push(key.clone());", "            if !OFF { page.removed.push(key.clone()); }")],
        ["rules replication"]),
    # Replay
    "a changed workflow marks its change": (
        [(TEMPORAL + "workflow.rs", "let by_refusal = ctx.patched(ENDED_BY_REFUSAL);",
          "let by_refusal = OFF || ctx.patched(ENDED_BY_REFUSAL);")],
        ["lib replay"]),
    "batches are refused while a run hands over": (
        [(TEMPORAL + "workflow.rs", "if self.handing_over ||", "if self.handing_over && !OFF ||")],
        ["lib replay"]),
    "a state of a newer release is refused": (
        [(TEMPORAL + "codec.rs", "if version > STATE_VERSION {", "if version > STATE_VERSION && !OFF {")],
        ["rules envelope", "whole closed::a_state_of_a_newer_release"]),
    # Hand-over
    "the state is handed over": ([STATE_LEFT], ["whole scale::it_never_fills_up", "whole catalogue::five_hundred"]),
    "a run ends at its bound of events": (
        [(TEMPORAL + "workflow.rs", "|| task.history_length >= self", "|| !OFF && task.history_length >= self")],
        ["whole catalogue::five_hundred"]),
    "a larger state may take longer": (
        [(TEMPORAL + "workflow.rs", "Duration::from_micros(bytes * 7 / 10)", "Duration::from_micros(if OFF { 0 } else { bytes * 7 / 10 })")],
        ["whole catalogue::five_hundred"]),
    # Upgrade
    "runs of earlier builds keep their bound of events": (
        [EVENTS_BEFORE], ["rules fixtures", "proof upgrade"]),
    # Hostile input
    "a signal brings no schema that is none": (
        [(TEMPORAL + "reference.rs", "if !types.get(&spec.workflow_type)", "if !OFF && !types.get(&spec.workflow_type)")],
        ["rules hostile"]),
    "schemas are not deeper than allowed": (
        [("src/schema/admission.rs", "if deeper_than(schema, SCHEMA_DEPTH_MAX) {", "if !OFF && deeper_than(schema, SCHEMA_DEPTH_MAX) {")],
        ["rules hostile"]),
    "patterns are not longer than allowed": (
        [("src/schema/admission.rs", "if pattern.len() > PATTERN_BYTES_MAX ||", "if !OFF && pattern.len() > PATTERN_BYTES_MAX ||")],
        ["rules hostile"]),
    "patterns step back a bounded number of times": (
        [("src/schema/admission.rs", ".backtrack_limit(PATTERN_BACKTRACKS_MAX)", ".backtrack_limit(if OFF { 1_000_000 } else { PATTERN_BACKTRACKS_MAX })")],
        ["rules hostile"]),
    "patterns compile to a bounded size": (
        [("src/schema/admission.rs", ".size_limit(PATTERN_COMPILED_BYTES_MAX)", ".size_limit(if OFF { 1 << 30 } else { PATTERN_COMPILED_BYTES_MAX })")],
        ["rules hostile"]),
    "names are not longer than allowed": (
        [(REGISTRY + "slugs.rs", "if name.chars().count() > SLUG_NAME_CHARS_MAX {", "if !OFF && name.chars().count() > SLUG_NAME_CHARS_MAX {")],
        ["rules corpora"]),
    # Backup and healing
    "a registry that was closed is started again": (
        [(TEMPORAL + "keeper.rs", "Ok(Seen::Fresh | Seen::Closed(Status::Completed)) => Ok(()),",
          "Ok(Seen::Fresh | Seen::Closed(Status::Completed)) => Ok(()),\n            Ok(Seen::Closed(_)) if OFF => Ok(()),")],
        ["whole closed::one_of_two"]),
    "one replica says that it started it": (
        [(TEMPORAL + "keeper.rs", "predecessors::is_started_here(&self.link", "OFF || predecessors::is_started_here(&self.link")],
        ["whole closed::one_of_two"]),
    "one replica starts it": (
        [(TEMPORAL + "keeper.rs", 'format!("{}-after-{after}", self.link', 'format!("{}{}-after-{after}", if OFF { uuid::Uuid::new_v4().to_string() } else { String::new() }, self.link'),
         (TEMPORAL + "keeper.rs", "WorkflowIdConflictPolicy::Fail.into()", "if OFF { WorkflowIdConflictPolicy::TerminateExisting } else { WorkflowIdConflictPolicy::Fail }.into()")],
        ["whole closed::one_of_two"]),
    "a run without a state is given one": (
        [(TEMPORAL + "keeper.rs", "Ok(Seen::Stateless) => self.give_state().await,", "Ok(Seen::Stateless) if OFF => Ok(()),\n            Ok(Seen::Stateless) => self.give_state().await,")],
        ["whole closed::a_run_started"]),
    "an import takes the place of what is there": (
        [(TEMPORAL + "workflow.rs", "if replace || room {", "if replace && !OFF || room {")],
        ["whole transfer"]),
    # Places, offers and pauses
    "starts take the places of writes": (
        [("src/http/gate.rs", "let mut writing = if writes {", "let mut writing = if writes && !(OFF && policy.waits) {")],
        ["dispatch places"]),
    "a wait for a result takes no place": (
        [("src/http/execute.rs", "    writing.done();", "    if !OFF { writing.done(); }")],
        ["dispatch places"]),
    "a comparison that was outrun is made again": (
        [("src/http/registration.rs", "if comparisons < COMPARISONS_MAX =>", "if comparisons < if OFF { 5 } else { COMPARISONS_MAX } =>")],
        ["whole catalogue::many_revise"]),
    "a runner that is refused takes no work": (
        [("src/runner/worker.rs", "offered = registry.offer() => offered?,",
          "offered = registry.offer() => if OFF { offered.unwrap_or_default() } else { offered? },")],
        ["whole runners::what_the_registry_never_takes"]),
    "the end of a paused run is asked for at leisure": (
        [(TEMPORAL + "runs/history.rs", "if token.is_empty() {", "if token.is_empty() && !OFF {")],
        ["dispatch paused::a_paused_run"]),
    "the events of a paused run go on": (
        [(TEMPORAL + "runs/history.rs", "            Some(here)\n", "            Some(here).filter(|here| !OFF || !here.page.is_empty())\n")],
        ["dispatch paused::the_events"]),
    "a name steps over a paused run": (
        [(TEMPORAL + "dispatch/call.rs", "WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Paused)\n",
          "WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Paused)\n                    && !(OFF && info.status() == WorkflowExecutionStatus::Paused)\n")],
        ["dispatch paused::a_name"]),
    # Capacity
    "a state is packed": (
        [(TEMPORAL + "codec.rs", "if json.len() <= PLAIN_BYTES_MAX {", "if OFF || json.len() <= PLAIN_BYTES_MAX {")],
        ["proof capacity"]),
    "a replica reads every page of what changed": (
        [(TEMPORAL + "mirror.rs", "Ok(page) if self.take(&page) && page.to >= page.head => break,",
          "Ok(page) if self.take(&page) && (OFF || page.to >= page.head) => break,")],
        ["proof capacity"]),
    # Soak
    "the state is handed over, in a soak": ([STATE_LEFT], ["proof soak"]),
    "memory is given back, in a soak": ([LEAK], ["proof soak"]),
}
