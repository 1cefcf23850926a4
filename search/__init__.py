"""The driver: one study, from a budget to a delivered model. It never imports paddle."""
