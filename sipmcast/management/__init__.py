"""Django management commands of sipmcast."""
