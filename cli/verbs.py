"""Every verb: where it is, and what it is for. `evq --help` reads this and loads no verb."""

from __future__ import annotations

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Run tasks": {
        "run": ("submit.run:run", "Enqueue a task, follow it, and end with its exit code."),
        "enqueue": (
            "submit.enqueue:enqueue",
            "Enqueue a task: your code as it is now, and a command.",
        ),
        "wait": ("tasks.wait:wait", "Wait until tasks have ended."),
        "abort": ("submit.change:abort", "End tasks, whether they wait or run."),
        "retry": ("submit.change:retry", "Put tasks that have ended back into their queue."),
        "move": ("fleet.move:move", "Let tasks that wait stand elsewhere, in any queue."),
        "dequeue": ("fleet.move:dequeue", "Take tasks that wait out of their queue."),
        "tag": ("tasks.filing:tag", "Give tasks other tags."),
        "archive": ("tasks.filing:archive", "Let lists leave out tasks that have ended."),
        "clone": ("submit.clone:clone", "Enqueue a task again, with changes."),
    },
    "Look at tasks": {
        "ls": ("tasks.ls:ls", "List tasks, the newest first."),
        "show": ("tasks.show:show", "Everything about a task."),
        "logs": ("tasks.logs:logs", "What a task wrote; -f follows it."),
        "get": ("tasks.get:get", "Fetch what a task has saved: its artifacts."),
        "notebook": ("tasks.notebook:notebook", "Fetch a task's notebook with its outputs."),
        "events": ("tasks.events:events", "What happened, event by event."),
        "replay": ("tasks.replay:replay", "A task's life again, step by step."),
        "why": ("fleet.why:why", "Why a task is in the state it is in."),
        "diff": ("tasks.diff:diff", "What differs between two tasks."),
        "sql": ("analytics.sql:sql", "Ask the database of tasks, metrics and events in SQL."),
        "export": ("analytics.export:export", "Keep a copy of the whole history as Parquet files."),
    },
    "When it fails": {
        "shell": ("submit.shell:shell", "A shell where a task failed or runs, in its environment."),
        "repro": ("submit.once:repro", "Run a task again here, and tell nobody."),
        "exec": ("submit.once:execute", "Run a task here and now, as an agent would."),
        "build": ("submit.once:build", "Make a task's environment, to be used again."),
    },
    "Let it work by itself": {
        "sweep": ("services.sweep:sweep", "Try many parameters of a task, and find the best."),
        "schedule": ("services.schedule:schedule", "Enqueue a task when it is due."),
        "trigger": ("services.trigger:trigger", "Do something whenever an event matches."),
        "alert": ("services.alert:alert", "Send messages to chats, e-mail and webhooks."),
        "autoscaler": ("services.autoscaler:autoscaler", "Have machines when tasks wait."),
    },
    "Fleet": {
        "top": ("top.top:top", "Watch the fleet live: workers, queues, tasks, events."),
        "queues": ("fleet.queues:queues", "The queues, and who serves them."),
        "queue": ("fleet.queue:queue", "One queue: look at it, pause it, empty it …"),
        "workers": ("fleet.workers:workers", "The agents that are there, and what they do."),
        "worker": ("fleet.workers:worker", "All about one agent: its tasks, queues, machine."),
        "gpus": ("fleet.gpus:gpus", "The GPUs there are, and who has them."),
        "drain": ("fleet.duty:drain", "Let an agent, or GPUs of it, take nothing more."),
        "resume": ("fleet.duty:resume", "Let a drained agent take tasks again."),
        "stop": ("fleet.duty:stop", "End an agent after its tasks, or now."),
        "agent": ("fleet.agent:agent", "Run tasks on this machine until told to stop."),
        "projector": ("stack.projector:projector", "Keep the database, and answer questions."),
        "ui": ("stack.ui:ui", "Serve the dashboard."),
    },
    "Services": {
        "pipeline": ("services.pipeline:pipeline", "Steps that wait for each other: run, draw …"),
    },
    "System": {
        "up": ("stack.up:up", "Start all of evq on this machine."),
        "down": ("stack.up:down", "Stop what `evq up` started; what is stored stays."),
        "demo": ("stack.demo:demo", "See all of it at work once, in under a minute."),
        "status": ("stack.up:status", "What runs here, and which server is in use."),
        "doctor": ("stack.doctor:doctor", "Check that everything evq needs is in order."),
        "cache": ("stack.cache:cache", "What agents keep here to be faster: list it, prune it."),
        "trim": ("stack.trim:trim", "Let go of old metrics and logs, by an event."),
        "config": ("config:config", "Each setting, its value, and where it came from."),
        "completion": ("completion:completion", "Completion for bash, zsh or fish."),
    },
}

PLACES = {name: place for verbs in SECTIONS.values() for name, (place, _) in verbs.items()}
MEANINGS = {name: text for verbs in SECTIONS.values() for name, (_, text) in verbs.items()}

OTHER_WORDS = {
    "add": "enqueue",
    "cancel": "abort",
    "compare": "diff",
    "debug": "shell",
    "describe": "show",
    "download": "get",
    "artifacts": "get",
    "execute": "exec",
    "hide": "archive",
    "info": "show",
    "inspect": "show",
    "kill": "abort",
    "label": "tag",
    "list": "ls",
    "log": "logs",
    "nodes": "workers",
    "ps": "ls",
    "query": "sql",
    "reorder": "move",
    "reproduce": "repro",
    "rerun": "retry",
    "rm": "abort",
    "ssh": "shell",
    "start": "up",
    "submit": "enqueue",
    "tail": "logs",
    "tasks": "ls",
}
"""What other tools call our verbs; only used to suggest the right one."""
