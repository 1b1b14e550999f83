interface Window {
  SwaggerUIBundle: (options: object) => void;
}
