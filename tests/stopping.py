"""A git that stops on its way, so that whoever started it can be killed there."""

GIT_THAT_STOPS = """#!/bin/sh
case " $* " in *" {verb} "*) ;; *) exec {git} "$@" ;; esac
{half}
echo begun > {begun}
read never < {never}
"""
"""At the word `verb` it does `half` of its work, and waits for ever."""
