"""Side by side with the bare evaluations and with Captum."""
