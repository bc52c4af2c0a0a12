"""Policy-Paced Learning: schedule, selection and guards of imagined data."""
