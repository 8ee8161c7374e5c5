"""The command dn: its verbs and their options."""
