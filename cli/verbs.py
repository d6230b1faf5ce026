"""Every verb: where it is, and what it is for. `evq --help` reads this and loads no verb."""

from __future__ import annotations

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Run tasks": {
        "run": ("run:run", "Enqueue a task, follow it, and end with its exit code."),
        "enqueue": ("enqueue:enqueue", "Enqueue a task: your code as it is now, and a command."),
        "wait": ("wait:wait", "Wait until tasks have ended."),
        "abort": ("change:abort", "End tasks, whether they wait or run."),
        "retry": ("change:retry", "Put tasks that have ended back into their queue."),
        "move": ("move:move", "Let tasks that wait stand elsewhere, in any queue."),
        "dequeue": ("move:dequeue", "Take tasks that wait out of their queue."),
        "clone": ("clone:clone", "Enqueue a task again, with changes."),
    },
    "Look at tasks": {
        "ls": ("ls:ls", "List tasks, the newest first."),
        "show": ("show:show", "Everything about a task."),
        "logs": ("logs:logs", "What a task wrote; -f follows it."),
        "notebook": ("notebook:notebook", "Fetch a task's notebook with its outputs."),
        "events": ("events:events", "What happened, event by event."),
        "why": ("why:why", "Why a task is in the state it is in."),
        "diff": ("diff:diff", "What differs between two tasks."),
        "sql": ("sql:sql", "Ask the database of tasks, metrics and events in SQL."),
    },
    "When it fails": {
        "shell": ("shell:shell", "A shell where a task failed or runs, in its environment."),
        "repro": ("once:repro", "Run a task again here, and tell nobody."),
        "exec": ("once:execute", "Run a task here and now, as an agent would."),
        "build": ("once:build", "Make a task's environment, to be used again."),
    },
    "Fleet": {
        "queues": ("queues:queues", "The queues, and who serves them."),
        "queue": ("queue:queue", "One queue: look at it, pause it, empty it …"),
        "workers": ("workers:workers", "The agents that are there, and what they do."),
        "worker": ("workers:worker", "All about one agent: its tasks, queues, machine."),
        "gpus": ("gpus:gpus", "The GPUs there are, and who has them."),
        "drain": ("duty:drain", "Let an agent, or GPUs of it, take nothing more."),
        "resume": ("duty:resume", "Let a drained agent take tasks again."),
        "stop": ("duty:stop", "End an agent after its tasks, or now."),
        "agent": ("agent:agent", "Run tasks on this machine until told to stop."),
        "projector": ("projector:projector", "Keep the database, and answer questions."),
    },
    "System": {
        "up": ("up:up", "Start all of evq on this machine."),
        "down": ("up:down", "Stop what `evq up` started; what is stored stays."),
        "demo": ("demo:demo", "See all of it at work once, in under a minute."),
        "status": ("up:status", "What runs here, and which server is in use."),
        "doctor": ("doctor:doctor", "Check that everything evq needs is in order."),
        "cache": ("cache:cache", "What agents keep here to be faster: list it, prune it."),
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
    "execute": "exec",
    "info": "show",
    "inspect": "show",
    "kill": "abort",
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
